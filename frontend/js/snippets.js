/* The same question as code; the key is the reader's own. */
export function snippets(base, asked) {
  const json = JSON.stringify(asked, null, 2);
  const python = Object.entries(asked).map(([name, value]) => `    ${name}=${JSON.stringify(value, null, 4).replaceAll("\n", "\n    ")},`).join("\n");
  return {
    curl: `curl ${base}/v1/chat/completions \\\n  -H "Authorization: Bearer $HOSTEDAI_KEY" \\\n  -H "Content-Type: application/json" \\\n  -d '${json.replaceAll("'", "\\u0027")}'`,
    python: `import os\nfrom openai import OpenAI\n\nclient = OpenAI(base_url="${base}/v1", api_key=os.environ["HOSTEDAI_KEY"])\nanswer = client.chat.completions.create(\n${python}\n)\nprint(answer.choices[0].message.content)`,
    javascript: `import OpenAI from "openai";\n\nconst client = new OpenAI({ baseURL: "${base}/v1", apiKey: process.env.HOSTEDAI_KEY });\nconst answer = await client.chat.completions.create(${json});\nconsole.log(answer.choices[0].message.content);`,
  };
}
