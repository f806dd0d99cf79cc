"""What the API and the page share: identity, limits, security headers, files, errors."""
