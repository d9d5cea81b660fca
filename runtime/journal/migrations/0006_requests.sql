-- Requests of clients in other processes, with the execution that has their effect (0: none), so that one that is sent
-- again has no second one. A bounded window, the oldest go.
CREATE TABLE requests (
    number    INTEGER PRIMARY KEY AUTOINCREMENT,
    id        BLOB    NOT NULL UNIQUE,
    execution INTEGER NOT NULL
) STRICT;
