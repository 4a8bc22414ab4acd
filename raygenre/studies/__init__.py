"""The studies service: searches by many people that share one cluster or machine."""
