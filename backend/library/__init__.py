"""The model files on this computer: where they lie, and what they are, told without loading a weight. No torch."""
