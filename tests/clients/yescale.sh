curl --location --request POST "$HOST/v1/images/generations" \
--header "Authorization: Bearer $KEY" \
--header 'Content-Type: application/json' \
--data-raw '{
  "model": "flux-pro",
  "prompt": "a beautiful landscape with a river and mountains",
  "size": "1024x1024",
  "n": 1
}'
