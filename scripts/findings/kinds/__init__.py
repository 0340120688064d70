"""What each mark is: vascular, metal, coarse, rim, skin-line, or else an individual MC (docs/kinds.md).

`rules.KindRules` combines one file per kind; `geometry.Marks` is what they read.
"""
