"""The service of studies: many people's searches on one cluster, or one after the other on one machine."""
