"""From maps to scored objects: the ways of forming them; presets."""
