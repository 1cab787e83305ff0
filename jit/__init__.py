"""Programs to machine code: the targets, and the way from a Unit to an Image."""
