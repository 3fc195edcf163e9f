"""What is done with each image: units of them, tasks that read and write, actors that compute.

``raynef.cluster.stream`` sends units through them; a job says which, and what comes of it.
"""
