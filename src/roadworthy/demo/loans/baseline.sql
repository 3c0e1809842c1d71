-- The simple rival: how often applications with this credit history and public record were denied, drawn towards the
-- rate of all applications by the weight of 20. `train` holds the training rows.
create table fitted as
with overall as (select avg(deny) as rate from train)
select credit_history, public_bad_record, (sum(deny) + 20 * any_value(rate)) / (count(*) + 20) as probability
from train, overall
group by grouping sets ((credit_history, public_bad_record), ());

-- One answer per row of `input`, in its order. A segment never seen gets the rate of all applications.
select coalesce(segment.probability, (select probability from fitted where credit_history is null)) as probability
from input
left join fitted segment using (credit_history, public_bad_record)
order by rw_row;
