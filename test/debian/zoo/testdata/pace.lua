-- Requests of two kinds by turns, on each connection some milliseconds after the answer before.
local asked, body = 0, string.rep("x", 300)

request = function()
   asked = asked + 1
   if asked % 2 == 0 then
      return wrk.format("GET", "/slow?ms=5")
   end
   return wrk.format("POST", "/upload", nil, body)
end

delay = function()
   return math.random(0, 20)
end

response = function(status, headers, answer)
   if answer ~= "300\n" and not answer:find('^{"generation":%d+,"pid":%d+}\n$') then
      io.write("wrong answer: ", answer, "\n")
   end
end
