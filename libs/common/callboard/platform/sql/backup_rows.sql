select {columns} from cb.{table}
