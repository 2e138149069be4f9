insert into cb.consumer (organisation, consumer, public_key, admitted_at) values ($1, $2, $3, $4)
