insert into cb.{table} ({columns}) select {columns} from incoming_{table};
truncate incoming_{table}
