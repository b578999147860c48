"""What a run looked like: who did what when, who was waited for, where the time went; from its records alone."""
