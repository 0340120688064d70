"""Candidate objects: breast mask, difference of Gaussians, Hessian masks."""
