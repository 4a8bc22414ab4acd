"""The studies service, with which many people run searches on one cluster or machine."""
