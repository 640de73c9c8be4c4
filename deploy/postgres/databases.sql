-- Run once, when the server's folder is new: a database for each service that keeps its state in PostgreSQL.
-- Tests use the database `souk`, which the image makes itself.
CREATE DATABASE orders;
CREATE DATABASE payment;
