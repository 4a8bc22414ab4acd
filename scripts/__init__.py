"""Scripts that install and check the project; they need only Python's standard library."""
