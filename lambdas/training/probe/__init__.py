"""The probe: what a worker measures of the place where it runs, when its event asks for figures instead of training."""
