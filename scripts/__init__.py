"""Installation and checks of the project; they need only Python's standard library."""
