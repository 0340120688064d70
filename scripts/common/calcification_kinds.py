"""Names of the kinds of calcification, of the marks of a mammogram and of what simulation draws."""

INDIVIDUAL, VASCULAR, METAL = "individual MC", "vascular", "metal"
COARSE, RIM, SKIN_LINE = "coarse", "rim", "skin-line"
KINDS = (INDIVIDUAL, VASCULAR, METAL, COARSE, RIM, SKIN_LINE)
#: Kinds that are no microcalcification (MC) of a count, a cluster or a mask.
EXCLUDED = (VASCULAR, METAL, SKIN_LINE)
