vacuum analyze cb.call
