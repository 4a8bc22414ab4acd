"""The service of studies: searches of many people that share one cluster or machine."""
