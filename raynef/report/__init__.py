"""report: from results to one self-contained HTML page."""
