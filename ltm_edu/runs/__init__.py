"""What a training run is made of: settings, recipes, checkpoint, state, processes."""
