curl $HOST/flux/v1/flux-pro-1.1 \
    -H "Content-Type: application/json" \
    -H "Accept: application/json" \
    -H "Authorization: Bearer $KEY" \
    -d "{
    \"prompt\": \"draw a rainbow\",
    \"width\": 1024,
    \"height\": 768
}"
