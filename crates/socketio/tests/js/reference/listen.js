/** Listens on PORT, 0 for a free one, and says where: whoever started this reads it from the output. */
export function listen(http) {
  http.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
    console.log(`listening on http://127.0.0.1:${http.address().port}`);
  });
}
