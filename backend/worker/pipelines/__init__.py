"""The families that diffusers' own pipelines paint, behind what `sampling` has: a brief in, pictures out."""
