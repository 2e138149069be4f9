select true from pg_database where datname = 'callboard'
