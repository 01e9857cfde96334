"""
The model server: one MLflow model behind one Unix socket.

It runs in the model's own environment, so it imports nothing of Studio and asks for
nothing but Python 3.9, MLflow 2.0 and uvicorn.

__main__   the command: one replica in a process of its own
template   a process that has imported everything and forks replicas; imports says what
replica    load, then serve, and the exit code that says how it went
loading    from a folder to a model; apart from serving, so that a template may fork in between
serving    from a model to answers on a socket, until SIGTERM
app        HTTP: which path answers what
worker     the one thread that runs model code
scoring    MLflow's scoring protocol, by MLflow's own code of whatever version is installed
"""

from __future__ import annotations
