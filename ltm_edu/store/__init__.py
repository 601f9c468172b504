"""Files, pictures and downloads: everything that touches the disk or the network."""
