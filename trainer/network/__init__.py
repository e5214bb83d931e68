"""The network: layers, losses, training, calibration."""
