"""The surfaces: one file each, over one hot path; admin and reports over FastAPI."""
