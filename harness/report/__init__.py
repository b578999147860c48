"""What runs cost and how they would scale: simulation, forecast."""
