# Run by the entry point of postgres when it makes the database: `all` databases are all but replication.
echo "host replication postgres all scram-sha-256" >>"$PGDATA/pg_hba.conf"
