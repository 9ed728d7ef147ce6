"""What maps a scene, loaded: the process that imports this is copied for every worker."""

from sifnet.batch.run import load

load()
