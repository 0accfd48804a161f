"""One file or folder per technology behind a port; in-memory twins are shipped beside the real ones."""
