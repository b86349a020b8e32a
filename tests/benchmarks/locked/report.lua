-- What wrk reports, as JSON, in seconds.
done = function(summary, latency, requests)
   local slow, all = 0, 0
   for number = 1, #latency do
      local value, count = latency(number)
      all = all + count
      if value > 1e6 then slow = slow + count end
   end
   io.write(string.format('\n{"p95": %f, "p99": %f, "slow": %f, "requests": %d}\n',
      latency:percentile(95) / 1e6, latency:percentile(99) / 1e6, slow / all, summary.requests))
end
