"""DRRs, on the processor and with PyTorch."""
