"""Routes that read: each is answered from one statement, whose row holds the answer's JSON as PostgreSQL made it.

Only what is asked as clients ask it, and is there and may be seen, is answered here. Whatever else comes, an error
above all, goes to MLflow's own server, which has the words for it.
"""
