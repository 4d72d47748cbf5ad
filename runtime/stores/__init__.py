"""The codes of an index in other engines: LanceDB, PostgreSQL and FAISS, with HammingIndex's answers."""
