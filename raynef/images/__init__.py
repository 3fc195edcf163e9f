"""images: files to pixels; data sets, decoding, geometry, augmentation, rendered scenes."""
