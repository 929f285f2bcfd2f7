"""What the pytest plugin does once somebody asks for figures."""
