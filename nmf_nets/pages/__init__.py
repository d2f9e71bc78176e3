"""What the pages of this package share, each one HTML file that asks for nothing but a browser."""
