"""What several tests share: phantoms, scenes, files, and the programs and hosts that they start."""
