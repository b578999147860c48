"""Recovery: what a rank does when a wait becomes long; `rules` decides, `recovery` carries out."""
