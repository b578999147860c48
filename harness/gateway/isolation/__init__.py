"""What environments in process mode see: AWS's paths, user and limits, and a /tmp of their own, where permitted."""
