-- The simple rival: how often this carrier was late at this airport and hour, drawn towards the rate of all flights
-- by the weight of 50 flights, so that a segment of three says little. `train` holds the training rows.
create table fitted as
with overall as (select avg(late) as rate from train)
select origin, carrier, hour, (sum(late) + 50 * any_value(rate)) / (count(*) + 50) as probability
from train, overall
group by grouping sets ((origin, carrier, hour), ());

-- One answer per row of `input`, in its order. A segment never seen gets the rate of all flights.
select coalesce(segment.probability, (select probability from fitted where origin is null)) as probability
from input
left join fitted segment using (origin, carrier, hour)
order by rw_row;
