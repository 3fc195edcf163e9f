"""jobs: what the commands do, one file each, on what the stages compute."""
