"""What may follow the network: a CRF and a median filter."""
