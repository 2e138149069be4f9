-- COPY does not write to a table whose wall stands before its owner too, and straight into the table it costs half of what
-- it does by way of another. The call log's owner is the keeper, whose policy lets everything through anyway; nothing
-- changes for rooms. As the keeper, because the user of this connection need not have its rights without becoming it.
set local role callboard_keeper;
alter table cb.call no force row level security;
alter table cb.call_content no force row level security;
reset role;
