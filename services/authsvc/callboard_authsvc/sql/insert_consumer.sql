insert into cb.consumer (organisation, consumer, public_key, admitted_at, admitted_by) values ($1, $2, $3, $4, $5)
